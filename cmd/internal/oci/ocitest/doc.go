// Package ocitest is a registry for tests: OCI distribution-spec 1.1 in memory,
// with the differences between real registries as switches and their failures
// on request. It is not for production: it keeps everything, for ever.
//
//	reg := ocitest.New(ocitest.Config{NoReferrers: true})
//	host := ocitest.Start(t, reg) // localhost:PORT
//	image := reg.PutImage("app", "v1")
//	reg.Fault("GET /v2/app/blobs/", ocitest.Fault{Status: 503, Times: 1})
//
// [WriteLayout] writes an image layout with the same image.
package ocitest
