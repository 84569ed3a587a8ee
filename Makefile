# Thin names over ./check and go build.
BIN ?= bin

.PHONY: all check interop bench fuzz fencepost timestamp-server timestamp-cli fetch-tsa-certs clean

all: fencepost timestamp-server timestamp-cli fetch-tsa-certs

fencepost timestamp-server timestamp-cli fetch-tsa-certs:
	go build -o $(BIN)/$@ ./cmd/$@

check:
	./check

interop bench fuzz:
	./check $@

clean:
	rm -rf $(BIN)
