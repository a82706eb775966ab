"""A run on Kubernetes: the Helm chart `btard`, and the part of its schema that follows from the programs' settings.

`btard/` is the chart, which docs/kubernetes.md explains; `schema` writes into its values.schema.json which settings the
programs have, so that helm refuses what they would refuse.
"""
