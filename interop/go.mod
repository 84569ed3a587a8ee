module github.com/fencepost-tsa/fencepost/interop

go 1.26.0

replace github.com/fencepost-tsa/fencepost => ../

require (
	github.com/notaryproject/tspclient-go v1.0.0
	golang.org/x/sys v0.49.0
)
