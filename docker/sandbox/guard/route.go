package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
)

// A sandbox's token is random, so that no pod can guess another submission's images.
var images = regexp.MustCompile(`^/v2/([0-9a-f]{10}-[0-9a-f]{16})/([a-z0-9][a-z0-9._/-]*/(?:manifests|blobs)/[A-Za-z0-9._:-]+)$`)

// split returns the token and the rest of a path that names an image's manifest or blob.
func split(where string) (token, rest string, ok bool) {
	found := images.FindStringSubmatch(where)
	if found == nil || path.Clean(where) != where {
		return "", "", false
	}
	return found[1], found[2], true
}

// router serves /v2/TOKEN/NAME/... from the registry of the sandbox with that token; reading only.
type router struct{ folder string }

func (r router) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodGet && request.Method != http.MethodHead {
		http.Error(answer, "reading only", http.StatusMethodNotAllowed)
		return
	}
	if request.URL.Path == "/v2/" {
		answer.WriteHeader(http.StatusOK)
		return
	}
	token, rest, ok := split(request.URL.Path)
	if !ok {
		http.NotFound(answer, request)
		return
	}
	socket := filepath.Join(r.folder, token, "gate", "registry.sock")
	proxy := httputil.ReverseProxy{
		Rewrite: func(out *httputil.ProxyRequest) {
			// containerd adds ?ns=localhost:5001, which is not for the registry
			out.Out.URL = &url.URL{Scheme: "http", Host: "registry", Path: "/v2/" + rest}
		},
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "unix", socket)
			},
		},
	}
	proxy.ServeHTTP(answer, request)
}
