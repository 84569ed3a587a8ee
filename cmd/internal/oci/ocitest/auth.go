package ocitest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// mayEnter checks what a request shows.
func (r *Registry) mayEnter(w http.ResponseWriter, req *http.Request) bool {
	if r.cfg.Username == "" && r.cfg.IdentityToken == "" {
		return true
	}
	if !r.cfg.Tokens {
		if user, password, ok := req.BasicAuth(); ok && user == r.cfg.Username && password == r.cfg.Password {
			return true
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return false
	}
	action := "pull"
	switch req.Method {
	case http.MethodPost, http.MethodPut:
		action = "push"
	}
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	if scopes, ok := r.tokens[token]; ok && slices.Contains(strings.FieldsFunc(scopes, func(c rune) bool { return strings.ContainsRune(" :,", c) }), action) {
		return true
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test"`, req.Host))
	refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
	return false
}

// token is the token service.
func (r *Registry) token(w http.ResponseWriter, req *http.Request, body []byte) {
	query := req.URL.Query()
	user, password, _ := req.BasicAuth()
	ok := r.cfg.Username != "" && user == r.cfg.Username && password == r.cfg.Password
	if req.Method == http.MethodPost {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			refuse(w, http.StatusBadRequest, "UNSUPPORTED", "not a form")
			return
		}
		query = form
		ok = r.cfg.IdentityToken != "" && form.Get("refresh_token") == r.cfg.IdentityToken
	}
	if !ok {
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return
	}
	token := rand.Text()
	r.tokens[token] = strings.Join(query["scope"], " ")
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{"token": token, "access_token": token})
}
