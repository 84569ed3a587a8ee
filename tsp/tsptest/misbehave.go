package tsptest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fencepost-tsa/fencepost/internal/der"
	"github.com/fencepost-tsa/fencepost/internal/oid"
	"github.com/fencepost-tsa/fencepost/tsp"
)

// refusal returns the refusal that a fault is, nil for other faults.
func refusal(fault Fault) *tsp.Rejection {
	switch {
	case fault == RefuseWithoutReason:
		return &tsp.Rejection{Info: tsp.NoFailureInfo}
	case fault == Waiting:
		return &tsp.Rejection{Status: tsp.StatusWaiting, Info: tsp.NoFailureInfo, Text: "come back later"}
	case fault >= RefuseBadAlg && fault <= RefuseSystemFailure:
		return tsp.Reject(tsp.FailureInfos()[fault-RefuseBadAlg], "told to refuse by the fault %s", fault)
	}
	return nil
}

// bend makes f forge what the fault says. It reports false for a fault that
// needs no forgery.
func bend(f *Forge, fault Fault) bool {
	switch fault {
	case WrongNonce:
		f.Info = func(i *InfoFields) { i.Nonce = der.Make(der.TagInteger, tsp.NewNonce()) }
	case NoNonce:
		f.Info = func(i *InfoFields) { i.Nonce = nil }
	case WrongImprint:
		f.Info = func(i *InfoFields) { i.Imprint[len(i.Imprint)-1] ^= 1 }
	case WrongHash:
		f.Info = func(i *InfoFields) {
			// SHA-2 under the name of SHA-3 of the same length, or the reverse.
			i.Imprint = swapHash(i.Imprint)
		}
	case WrongPolicy:
		f.Info = func(i *InfoFields) { i.Policy = OID("1.3.6.1.4.1.57264.2.666") }
	case StaleTime:
		f.Time = f.Time.AddDate(-1, 0, 0)
	case FutureTime:
		f.Time = f.Time.AddDate(1, 0, 0)
	case SwappedCertificate:
		f.Identity = f.Other
	case WrongKey:
		f.Key = f.Other.Key
	case CorruptSignature:
		f.Signer = func(s *SignerFields) { s.Signature[len(s.Signature)-1] ^= 1 }
	case NoCertificate:
		f.Data = func(d *DataFields) { d.Certificates = nil }
	case InjectedLeaf:
		f.Data = func(d *DataFields) { d.Certificates = append(append([][]byte{}, f.Other.Chain...), d.Certificates...) }
	case GrantedEmpty:
		f.Response = func(r *ResponseFields) { r.Token = nil }
	case RefusedWithToken:
		f.Response = func(r *ResponseFields) { r.Status = der.AppendInt(nil, 2) }
	case BareToken:
	default:
		return false
	}
	return true
}

// swapHash replaces the algorithm of a MessageImprint with one of the same
// length.
func swapHash(imprint []byte) []byte {
	pairs := []string{
		oid.SHA256, oid.SHA3_256, oid.SHA384, oid.SHA3_384, oid.SHA512, oid.SHA3_512,
		oid.SHA3_256, oid.SHA256, oid.SHA3_384, oid.SHA384, oid.SHA3_512, oid.SHA512,
	}
	return []byte(strings.NewReplacer(pairs...).Replace(string(imprint)))
}

const replyType = "application/timestamp-reply"

const page = "<!DOCTYPE html><title>Welcome</title><p>Please sign in to use this network.</p>\n"

// send writes the answer over HTTP, with the faults of HTTP.
func (s *TSA) send(w http.ResponseWriter, r *http.Request, fault Fault, reply []byte) {
	h := w.Header()
	h.Set("Content-Type", replyType)
	status := http.StatusOK
	switch fault {
	case Truncated:
		reply = reply[:len(reply)*2/3]
	case CutOff:
		h.Set("Content-Length", strconv.Itoa(len(reply)))
		w.Write(reply[:len(reply)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case HungUp:
		panic(http.ErrAbortHandler)
	case Empty:
		reply = nil
	case TrailingBytes:
		reply = append(reply, "\r\n"...)
	case Garbage:
		for i := range reply {
			reply[i] = byte(i*i*31 + 7)
		}
	case HTMLPage:
		reply = []byte(page)
	case Base64:
		reply = base64.StdEncoding.AppendEncode(nil, reply)
	case Slow:
		if !s.wait(r) {
			return
		}
	case Drip:
		s.drip(w, r, reply)
		return
	case Endless:
		endless(w, reply)
		return
	case Bomb:
		bomb(w)
		return
	case HugeHeader:
		h.Set("X-Padding", strings.Repeat("x", 2<<20))
	case WrongMediaType:
		h.Set("Content-Type", "text/html; charset=utf-8")
	case NoMediaType:
		h["Content-Type"] = nil
	case Created:
		status = http.StatusCreated
	case NoContent:
		status, reply = http.StatusNoContent, nil
	case BadRequestJSON:
		status, reply = http.StatusBadRequest, []byte(`{"code":400,"message":"Error generating timestamp response"}`+"\n")
	case Unauthorized:
		h.Set("WWW-Authenticate", `Basic realm="timestamps"`)
		status, reply = http.StatusUnauthorized, nil
	case Forbidden:
		status, reply = http.StatusForbidden, nil
	case NotFound:
		h.Set("Content-Type", "text/html")
		status, reply = http.StatusNotFound, []byte(page)
	case TooLarge:
		status, reply = http.StatusRequestEntityTooLarge, nil
	case TooManyRequests, Unavailable:
		h.Set("Retry-After", strconv.Itoa(int(s.cfg.RetryAfter/time.Second)))
		status, reply = http.StatusServiceUnavailable, nil
		if fault == TooManyRequests {
			status = http.StatusTooManyRequests
		}
	case UnavailableDate:
		// The date has whole seconds, so it is rounded up.
		h.Set("Retry-After", s.cfg.Now().Add(s.cfg.RetryAfter+time.Second).UTC().Format(http.TimeFormat))
		status, reply = http.StatusServiceUnavailable, nil
	case UnavailableForever:
		h.Set("Retry-After", "315360000")
		status, reply = http.StatusServiceUnavailable, nil
	case InternalError:
		status, reply = http.StatusInternalServerError, nil
	case BadGateway:
		h.Set("Content-Type", "text/html")
		status, reply = http.StatusBadGateway, []byte(page)
	case Redirect:
		h.Set("Location", s.cfg.RedirectURL)
		status, reply = http.StatusTemporaryRedirect, nil
	case RedirectSeeOther:
		h.Set("Location", s.cfg.RedirectURL)
		status, reply = http.StatusSeeOther, nil
	case RedirectLoop:
		h.Set("Location", r.URL.RequestURI())
		status, reply = http.StatusTemporaryRedirect, nil
	}
	w.WriteHeader(status)
	w.Write(reply)
}

// wait waits for the configured delay. It reports false when the client left.
func (s *TSA) wait(r *http.Request) bool {
	t := time.NewTimer(s.cfg.Delay)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// drip sends the reply octet by octet.
func (s *TSA) drip(w http.ResponseWriter, r *http.Request, reply []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(reply)))
	flush := http.NewResponseController(w).Flush
	flush()
	for i := range reply {
		if !s.wait(r) {
			return
		}
		if _, err := w.Write(reply[i : i+1]); err != nil {
			return
		}
		if flush() != nil {
			return
		}
	}
}

// endless sends the reply and then zeros until the client leaves.
func endless(w io.Writer, reply []byte) {
	chunk := make([]byte, 64<<10)
	copy(chunk, reply)
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
		clear(chunk)
	}
}

// bomb sends a gigabyte of zeros, compressed.
func bomb(w http.ResponseWriter) {
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	zeros := bytes.Repeat([]byte{0}, 1<<20)
	for range 1 << 10 {
		if _, err := z.Write(zeros); err != nil {
			return
		}
	}
	z.Close()
}
