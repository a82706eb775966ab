"""Whole experiments from one file: train from scratch, then attack from each checkpoint, with several seeds each.

`plan` is the file and the runs that follow from it, `runner` does those that are not done yet, `local` runs them on
this machine (deploy/aws/backend.py on AWS), `results` reads what a run has left, and `report` draws and tabulates.
"""
