"""Crawling: from an address to the pages of its site, politely, safely and with nothing lost.

`addresses` says which addresses are the same and which belong; `guard` which may be connected to; `fetch` gets one;
`robots` and `sitemap` read what a host says of itself; `extract` makes a page of what came; `politeness` spaces the
requests; `frontier` holds what is left to do; `pipeline` puts them together, one durable job for each address.
"""
