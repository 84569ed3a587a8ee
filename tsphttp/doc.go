// Package tsphttp carries timestamp requests over HTTP (RFC 3161, 3.4): a
// [Client] for any timestamp authority, and a [Handler] for one of your own.
package tsphttp
