"""Benchmarks: this broker beside Debian's x2gobroker 0.0.4.3 and a Flask application that returns a constant."""
