# Thin names over ./check and go build.
BIN ?= bin

.PHONY: all check interop bench fuzz fencepost timestamp-server timestamp-cli clean

all: fencepost timestamp-server timestamp-cli

fencepost timestamp-server timestamp-cli:
	go build -o $(BIN)/$@ ./cmd/$@

check:
	./check

interop bench fuzz:
	./check $@

clean:
	rm -rf $(BIN)
