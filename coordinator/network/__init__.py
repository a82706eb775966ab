"""What the coordinator asks of the network (`network`), tells it (`publisher`, `serving`), and where members are
(`address_book`).
"""
