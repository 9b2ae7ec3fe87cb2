# Names that the package x2gobroker has as well. Each is a link where there is none: dpkg puts the broker's files in their place.
SHARE=/usr/share/x2gobroker-x2go
VENV=/usr/lib/x2gobroker-x2go/venv

# each_name FUNCTION: call it with each name, and with what it leads to here.
each_name() {
	"$1" /usr/bin/x2gobroker $VENV/bin/x2gobroker
	"$1" /usr/share/man/man1/x2gobroker-x2go.1.gz $SHARE/x2gobroker-x2go.1.gz
	"$1" /usr/share/bash-completion/completions/x2gobroker $SHARE/x2gobroker
	"$1" /usr/share/zsh/vendor-completions/_x2gobroker $SHARE/_x2gobroker
	"$1" /usr/share/fish/vendor_completions.d/x2gobroker.fish $SHARE/x2gobroker.fish
}
