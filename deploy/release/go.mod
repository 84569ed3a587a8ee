module github.com/fencepost-tsa/fencepost/deploy/release

go 1.26.0

replace github.com/fencepost-tsa/fencepost => ../../

require github.com/fencepost-tsa/fencepost v0.0.0-00010101000000-000000000000

require (
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
