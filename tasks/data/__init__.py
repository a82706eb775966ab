"""From a corpus to its tokenised form.

`spec` names a corpus as its owner does, `known` by short names, `public` as a manifest may; `sources` reads it, `hub`
fetches it, `tables` are its rows; `vocabulary` trains or loads its tokenizer; `prepare` writes the tokenised form once
into a cache folder, `tokenised` opens and verifies it.
"""
