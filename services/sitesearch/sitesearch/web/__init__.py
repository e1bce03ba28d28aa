"""What people and programs see: the pages, the live view of a crawl, the API, and the documentation to try it on."""
