"""From a corpus to its tokenised form.

`spec` names a corpus, `sources` reads it, `vocabulary` trains or loads its tokenizer, `prepare` writes the tokenised
form once into a cache folder, `tokenised` opens and verifies it.
"""
