"""From a corpus to its tokenised form.

`spec` names a corpus as its owner does, `public` as a manifest may; `sources` reads it, `tables` its rows, `hub`
fetches it; `vocabulary` trains or loads its tokenizer; `prepare` writes the tokenised form once into a cache folder,
`tokenised` opens and verifies it.
"""
