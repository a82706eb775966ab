"""Published studies, done again in one command each, with a report that sets our figures beside the published ones.

`reproduction` says what a reproduction is and at which scales it is done, `command` runs one, and each other file or
folder is one study.
"""
