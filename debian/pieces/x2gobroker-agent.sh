#!/bin/sh
# sudo lets the agent run under this name only, which is also the one that brokers know
exec /usr/lib/x2go/x2gobroker-agent "$@"
