"""What both daemons share, and what tools read of a run.

`manifest` says what a run is, `records` what is published in the DHT, `questions` what may be asked of a peer; `door`
answers newcomers, `state_sync` takes over a training state that most members hold, `bans` keeps and checks evidence,
`calibration` measures how far honest gradients differ. `events` are the logs of a run; `http` and `telemetry` show it.
"""
