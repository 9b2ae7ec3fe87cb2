"""Sessions in the browser: what kinds there are, the scripts that start them, and the service that carries them."""
