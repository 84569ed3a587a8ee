module github.com/fencepost-tsa/fencepost/interop

go 1.26.0

replace github.com/fencepost-tsa/fencepost => ../

require (
	github.com/fencepost-tsa/fencepost v0.0.0-00010101000000-000000000000
	github.com/fxamacker/cbor/v2 v2.9.6
	github.com/notaryproject/tspclient-go v1.0.0
	go.yaml.in/yaml/v3 v3.0.6
	golang.org/x/crypto v0.58.0
	golang.org/x/sys v0.49.0
)

require github.com/x448/float16 v0.8.4 // indirect
