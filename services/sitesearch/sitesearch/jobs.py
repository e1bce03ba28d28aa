"""Every job of the service, for `service.py` to import once its handles stand."""
