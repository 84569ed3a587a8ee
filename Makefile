# Thin names over ./check and go build.
.PHONY: all check interop bench fuzz fencepost timestamp-server timestamp-cli clean

all: fencepost timestamp-server timestamp-cli

fencepost timestamp-server timestamp-cli:
	go build -trimpath -o bin/$@ ./cmd/$@

check:
	./check

interop bench fuzz:
	./check $@

clean:
	rm -rf bin
