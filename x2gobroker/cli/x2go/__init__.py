"""`x2gobroker x2go`: sessions on X2Go Servers, without a broker."""
