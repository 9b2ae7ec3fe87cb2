"""The authentication service: checks passwords with PAM as root, for a broker that is not, over a Unix socket.

`server` owns the connections and never looks at a password; `spawner` makes worker processes and never sees a
request; `worker` does one login and ends. `client` is the broker's side; `protocol` is what goes over the socket.
"""
