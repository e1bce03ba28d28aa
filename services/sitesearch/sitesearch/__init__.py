"""Site Search: a search page for any web site, run by Roadworthy."""
