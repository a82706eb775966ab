"""How a judge comes to see what the accusers have seen: it goes on in an attempt that has been given up."""

from __future__ import annotations

from btard.round.actions import Action
from btard.round.delivery.exchange import Exchange
from btard.round.failure.court.court import Court
from btard.round.failure.standing import Standing
from btard.round.phases.course import Course


def follow(now: float, court: Court, course: Course, exchange: Exchange, standing: Standing) -> list[Action]:
    """Go on as far as the accusers were, and ask for what is missing; it is there, since they have seen it."""
    actions: list[Action] = []
    while not court.followed:
        phase = course.phase
        if phase is course.check:
            actions += course.check.advance()
        done = not phase.busy() and phase.complete()
        if phase.phase > court.furthest or (done and phase.phase == court.furthest):
            court.followed = True
        elif done:
            course.go_on(standing.banned, standing.redraws)
            actions += course.phase.enter()
        else:
            return actions + exchange.urge_all(now, phase.missing(), course.wanted())
    return actions
