"""What both daemons share: manifest, records, questions, state transfer, bans, events, and small HTTP parts."""
