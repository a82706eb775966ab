"""Runs on AWS: one coordinator on demand, peers on spot instances, replaced when they are lost.

AWS keeps the state: everything that is made carries tags, and no command needs a file or memory of an earlier one.
`settings` is what the commands are told; `fleet` says what a fleet is, `reconcile` compares the wanted one with the
real one and decides, without calling anybody; `cloud`, `network` and `machines` are the thin layer over boto3, and
`errors` puts its complaints into sentences. `userdata` is what a machine does when it boots. `launcher` is `up` and its
loop, `teardown` is `down`, `attack` changes what is wanted, `status`, `logs` and `costs` tell. `bucket` is where the
machines leave their files, and `backend` runs an experiment's runs here.
"""
