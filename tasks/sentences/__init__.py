"""Classes of sentences and pairs of sentences: `labelled` reads them, `task` trains a model that names them."""
