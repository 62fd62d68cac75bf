package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// plugin speaks Docker's protocol for authorization plugins
// (docs.docker.com/engine/extend/plugins_authorization).
type plugin struct{}

// A client that is refused its build while it still opens the session for it waits for that session's end, which it
// would have to bring about itself (docker/cli 20.10, build_buildkit.go: Close before Run has its connection; 3 of
// 600 refused builds hung for ever). So it is told a moment later.
const untilSession = 2 * time.Second

type question struct {
	RequestMethod string
	RequestURI    string `json:"RequestUri"`
	RequestBody   []byte
}

type verdict struct {
	Allow bool
	Msg   string
}

func (plugin) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	answer.Header().Set("Content-Type", "application/vnd.docker.plugins.v1+json")
	reply := func(value any) { json.NewEncoder(answer).Encode(value) }
	switch request.URL.Path {
	case "/Plugin.Activate":
		reply(map[string][]string{"Implements": {"authz"}})
	case "/AuthZPlugin.AuthZReq":
		var asked question
		if err := json.NewDecoder(io.LimitReader(request.Body, 8<<20)).Decode(&asked); err != nil {
			reply(verdict{false, "the request cannot be read"})
			return
		}
		why := refuse(asked.RequestMethod, asked.RequestURI, asked.RequestBody)
		if why != "" {
			if strings.Contains(asked.RequestURI, "session=") {
				time.Sleep(untilSession)
			}
			why = "the sandbox of this course does not allow " + why
		}
		reply(verdict{why == "", why})
	case "/AuthZPlugin.AuthZRes":
		io.Copy(io.Discard, request.Body)
		reply(verdict{true, ""})
	default:
		http.NotFound(answer, request)
	}
}

var version = regexp.MustCompile(`^/v1\.(\d{1,3})(/.*)$`)

// Requests that change something and whose content is harmless or is looked at below. All others are refused,
// those that a later engine may know included.
var known = regexp.MustCompile(`^(POST /auth` +
	`|POST /build(/prune|/cancel)?|POST /session` +
	`|POST /commit` +
	`|POST /containers/create|POST /containers/prune` +
	`|POST /containers/[\w.-]+/(start|stop|restart|kill|pause|unpause|wait|rename|resize|attach|exec|update)` +
	`|(PUT|HEAD) /containers/[\w.-]+/archive|DELETE /containers/[\w.-]+` +
	`|POST /exec/[\w.-]+/(start|resize)` +
	`|POST /images/(create|load|prune)|POST /images/.+/(tag|push)|DELETE /images/.+` +
	`|POST /networks/(create|prune)|POST /networks/[\w.-]+/(connect|disconnect)|DELETE /networks/[\w.-]+` +
	`|POST /volumes/(create|prune)|DELETE /volumes/[\w.-]+)$`)

// refuse says what about a request is not allowed, "" for nothing.
func refuse(method, uri string, body []byte) string {
	parsed, err := url.ParseRequestURI(uri)
	if err != nil {
		return "a request that cannot be read"
	}
	where := parsed.Path // decoded, as the engine's own router sees it
	if path.Clean(where) != where {
		return "a path that is not plain"
	}
	if found := version.FindStringSubmatch(where); found != nil {
		// Before 1.24 a container could be given its host settings when it was started.
		if number, _ := strconv.Atoi(found[1]); number < 24 {
			return "a version of the API below 1.24"
		}
		where = found[2]
	}
	if strings.HasPrefix(where, "/grpc") || strings.HasPrefix(where, "/debug") {
		return where
	}
	if method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions {
		return ""
	}
	if !known.MatchString(method + " " + where) {
		return method + " " + where
	}
	switch {
	case where == "/containers/create":
		return refuseContainer(body)
	case where == "/build":
		return refuseBuild(parsed.Query())
	case where == "/volumes/create":
		var volume struct {
			Driver     string
			DriverOpts map[string]string
		}
		if !read(body, &volume) || len(volume.DriverOpts) > 0 || !among(volume.Driver, "", "local") {
			return "a volume with a driver's options"
		}
	case where == "/networks/create":
		var network struct {
			Driver     string
			ConfigFrom struct{ Network string }
		}
		if !read(body, &network) || !among(network.Driver, "", "default", "bridge") || network.ConfigFrom.Network != "" {
			return "a network that is no bridge"
		}
	case strings.HasSuffix(where, "/start") && strings.HasPrefix(where, "/containers/"):
		if text := bytes.TrimSpace(body); len(text) > 0 && !among(string(text), "{}", "null") {
			return "settings when a container is started"
		}
	case strings.HasSuffix(where, "/exec"):
		var exec struct{ Privileged bool }
		if !read(body, &exec) || exec.Privileged {
			return "a privileged process"
		}
	}
	return ""
}

func refuseBuild(query url.Values) string {
	for _, mode := range query["networkmode"] {
		if !among(mode, "", "default", "none", "bridge") {
			return "a build in the network of " + mode
		}
	}
	for name := range query {
		if among(strings.ToLower(name), "cgroupparent", "securityopt", "extrahosts", "ulimits") && query.Get(name) != "" &&
			!among(query.Get(name), "null", "[]", "{}") {
			return "the build option " + name
		}
	}
	return ""
}

type mount struct {
	Type          string
	VolumeOptions *struct {
		DriverConfig *struct{ Options map[string]string }
	}
}

func refuseContainer(body []byte) string {
	var wanted struct {
		HostConfig struct {
			Binds                                                      []string
			Mounts                                                     []mount
			Privileged                                                 bool
			CapAdd                                                     []string
			Devices, DeviceRequests, DeviceCgroupRules                 []any
			PidMode, IpcMode, UTSMode, UsernsMode, NetworkMode, Cgroup string
			CgroupnsMode, CgroupParent, Runtime, VolumeDriver          string
			SecurityOpt                                                []string
			Sysctls                                                    map[string]string
			MaskedPaths, ReadonlyPaths                                 *[]string
			OomScoreAdj                                                int
			LogConfig                                                  struct{ Type string }
		}
	}
	// An empty body too: the engine does not show the plugin one that is larger than 1 MB.
	if !read(body, &wanted) {
		return "a container whose settings cannot be read"
	}
	host := wanted.HostConfig
	for _, bind := range host.Binds {
		if (strings.HasPrefix(bind, "/") || strings.HasPrefix(bind, ".") || strings.HasPrefix(bind, "~")) && !ownFolder(bind) {
			return "a folder mounted into a container (" + bind + "); COPY it into the image, or use a volume"
		}
	}
	for _, one := range host.Mounts {
		if !among(one.Type, "volume", "tmpfs") {
			return "a mount of type " + one.Type
		}
		if one.VolumeOptions != nil && one.VolumeOptions.DriverConfig != nil && len(one.VolumeOptions.DriverConfig.Options) > 0 {
			return "a volume with a driver's options"
		}
	}
	for name, mode := range map[string]string{
		"pid": host.PidMode, "ipc": host.IpcMode, "uts": host.UTSMode, "userns": host.UsernsMode,
		"network": host.NetworkMode, "cgroupns": host.CgroupnsMode,
	} {
		if strings.EqualFold(mode, "host") {
			return "the host's " + name + " namespace"
		}
	}
	switch {
	case host.Privileged:
		return "--privileged"
	case len(host.CapAdd) > 0:
		return "added capabilities"
	case len(host.Devices)+len(host.DeviceRequests)+len(host.DeviceCgroupRules) > 0:
		return "devices"
	case host.CgroupParent != "" || host.Cgroup != "":
		return "another cgroup"
	case !among(host.Runtime, "", "runc"):
		return "another runtime"
	case !among(host.VolumeDriver, "", "local"):
		return "another volume driver"
	case host.MaskedPaths != nil || host.ReadonlyPaths != nil:
		return "unmasked system paths"
	case host.OomScoreAdj < 0:
		return "a lowered OOM score"
	case len(host.Sysctls) > 0:
		return "sysctls"
	case !among(host.LogConfig.Type, "", "json-file", "local", "none"):
		return "another log driver"
	}
	for _, option := range host.SecurityOpt {
		if !among(option, "no-new-privileges", "no-new-privileges:true") {
			return "the security option " + option
		}
	}
	return ""
}

// ownFolder tells whether a mount's source lies in the learner's folder. The engine sees that folder by a mount on
// which no symbolic link is followed (see `engine`): what lies in it cannot lead out of it, now or later.
func ownFolder(bind string) bool {
	parts := strings.Split(bind, ":")
	if len(parts) < 2 || len(parts) > 3 || (len(parts) == 3 && !among(parts[2], "rw", "ro")) {
		return false
	}
	return strings.HasPrefix(parts[0], "/work/") && path.Clean(parts[0]) == parts[0]
}

// read decodes as the engine does: the first JSON value, names in any case, the last of two equal names wins.
func read(body []byte, into any) bool {
	return json.NewDecoder(bytes.NewReader(body)).Decode(into) == nil
}

func among(word string, words ...string) bool {
	for _, one := range words {
		if word == one {
			return true
		}
	}
	return false
}
