"""Configuration of the programs: one validated class each, fed by flags, environment and a YAML file.

`options` says what a setting is, `sources` reads the three places, `messages` turns a bad value into one sentence,
`manual` writes the tables and `--help`, in the order of `groups`, and `settings` puts them together. What
programs share is in `shared`.
"""

from btard.configuration.groups import Group
from btard.configuration.manual import Row, describe
from btard.configuration.options import Option, Port, Probability, Seed
from btard.configuration.settings import SETTINGS_GROUP, Settings, installed_settings, load_settings, to_yaml

__all__ = [
    "SETTINGS_GROUP",
    "Group",
    "Option",
    "Port",
    "Probability",
    "Row",
    "Seed",
    "Settings",
    "describe",
    "installed_settings",
    "load_settings",
    "to_yaml",
]
