"""The console scripts: `btard` (main, one thin file a command), `btard-peer` and `btard-coordinator`.

What a command needs is imported when it runs, so that help is quick; `program` turns errors into exit codes for all.
"""
