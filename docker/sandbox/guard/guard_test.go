package main

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatLabsNeedIsAllowed(t *testing.T) {
	for _, one := range [][3]string{
		{"GET", "/_ping", ""},
		{"HEAD", "/_ping", ""},
		{"GET", "/v1.41/containers/json?all=1", ""},
		{"POST", "/v1.41/build?dockerfile=Dockerfile&networkmode=default&ulimits=null&extrahosts=null", "tar"},
		{"POST", "/session", ""},
		{"POST", "/v1.41/containers/create?name=mine", `{"Image":"digits:mine","HostConfig":{"AutoRemove":true,"NetworkMode":"default",` +
			`"PortBindings":{"8000/tcp":[{"HostIp":"127.0.0.1"}]},"Memory":1073741824,"LogConfig":{"Type":"json-file"}}}`},
		{"POST", "/v1.41/containers/create", `{"Image":"x","HostConfig":{"Binds":["models:/models"]}}`},
		{"POST", "/v1.41/containers/create", `{"Image":"x","HostConfig":{"Binds":["/work/runs:/work/runs:rw"]}}`},
		{"POST", "/v1.41/containers/0123abc/start", ""},
		{"POST", "/v1.41/containers/mine/exec", `{"Cmd":["id"]}`},
		{"POST", "/v1.41/images/localhost:5001/digits/push?tag=v1", ""},
		{"POST", "/v1.41/images/digits:mine/tag?repo=localhost:5001/digits", ""},
		{"DELETE", "/v1.41/images/localhost:5001/digits:v1", ""},
		{"POST", "/v1.41/volumes/create", `{"Name":"models"}`},
		{"POST", "/v1.41/networks/create", `{"Name":"harbour","Driver":"bridge"}`},
	} {
		if why := refuse(one[0], one[1], []byte(one[2])); why != "" {
			t.Errorf("%s %s %s is refused: %s", one[0], one[1], one[2], why)
		}
	}
}

func TestWhatLeadsOutIsRefused(t *testing.T) {
	for _, host := range []string{
		`"Privileged":true`, `"privileged":true`, `"Privileged":false,"PRIVILEGED":true`,
		`"Binds":["/work:/x"]`, `"Binds":["/work/../etc:/x"]`, `"Binds":["/work/a:/x:rshared"]`, `"Binds":["/workers/a:/x"]`,
		`"Binds":["/:/host"]`, `"Binds":["/run/user/10002:/x"]`, `"Mounts":[{"Type":"bind","Source":"/","Target":"/x"}]`,
		`"Mounts":[{"Type":"volume","VolumeOptions":{"DriverConfig":{"Options":{"device":"/","o":"bind"}}}}]`,
		`"PidMode":"host"`, `"IpcMode":"host"`, `"UTSMode":"host"`, `"UsernsMode":"host"`, `"NetworkMode":"host"`,
		`"CgroupnsMode":"host"`, `"CapAdd":["SYS_ADMIN"]`, `"Devices":[{"PathOnHost":"/dev/net/tun"}]`,
		`"DeviceRequests":[{"Count":-1}]`, `"DeviceCgroupRules":["a *:* rwm"]`, `"SecurityOpt":["seccomp=unconfined"]`,
		`"CgroupParent":"/"`, `"Runtime":"other"`, `"MaskedPaths":[]`, `"ReadonlyPaths":[]`, `"Sysctls":{"a":"b"}`,
		`"OomScoreAdj":-1000`, `"LogConfig":{"Type":"syslog"}`, `"VolumeDriver":"other"`,
	} {
		if refuse("POST", "/v1.41/containers/create", []byte(`{"Image":"x","HostConfig":{`+host+`}}`)) == "" {
			t.Errorf("a container with %s is allowed", host)
		}
	}
	for _, one := range [][3]string{
		{"POST", "/v1.41/containers/create", ""}, // larger than the engine shows, or of a length it does not say
		{"POST", "/v1.41/containers/create", "[1]"},
		{"POST", "/v1.41//containers/create", `{}`},
		{"POST", "/v1.41/containers/x/../create", `{}`},
		{"POST", "/containers%2Fcreate", `{"HostConfig":{"Privileged":true}}`},
		{"POST", "http://docker/v1.41/containers/create", `{"HostConfig":{"Privileged":true}}`},
		{"POST", "/v1.21/containers/x/start", `{"Binds":["/:/x"]}`},
		{"POST", "/v1.41/containers/x/start", `{"Binds":["/:/x"]}`},
		{"POST", "/v1.41/containers/x/exec", `{"Cmd":["sh"],"Privileged":true}`},
		{"POST", "/v1.41/build?networkmode=host", ""},
		{"POST", "/v1.41/build?networkmode=default&networkmode=host", ""},
		{"POST", "/v1.41/build?cgroupparent=x", ""},
		{"POST", "/v1.41/volumes/create", `{"Name":"x","DriverOpts":{"type":"none","o":"bind","device":"/"}}`},
		{"POST", "/v1.41/networks/create", `{"Name":"x","Driver":"macvlan"}`},
		{"POST", "/grpc", ""}, {"GET", "/grpc", ""},
		{"POST", "/v1.41/plugins/pull?remote=x", ""}, {"POST", "/v1.41/swarm/init", "{}"},
		{"POST", "/v1.99/something/new", ""},
	} {
		if refuse(one[0], one[1], []byte(one[2])) == "" {
			t.Errorf("%s %s %s is allowed", one[0], one[1], one[2])
		}
	}
}

func TestOnlyATokenAndANameOpenARegistry(t *testing.T) {
	token := "0123456789-0123456789abcdef"
	if _, rest, _ := split("/v2/" + token + "/a/digits/manifests/v1"); rest != "a/digits/manifests/v1" {
		t.Error("an image cannot be read")
	}
	for _, path := range []string{
		"/v2/_catalog", "/v2/" + token + "/_catalog", "/v2/" + token + "/digits/tags/list", "/v2/digits/manifests/v1",
		"/v2/../" + token + "/digits/manifests/v1", "/v2/" + token + "/digits/manifests/../../x/blobs/y",
	} {
		if _, _, ok := split(path); ok {
			t.Errorf("%s is served", path)
		}
	}
}

func TestForwardCarriesBothWaysAndPassesEndsOn(t *testing.T) {
	folder := t.TempDir()
	server := listen("unix:" + filepath.Join(folder, "server"))
	go func() {
		client, _ := server.Accept()
		all, _ := io.ReadAll(client) // only if the end is passed on
		client.Write([]byte(strings.ToUpper(string(all))))
		client.Close()
	}()
	forwardAll([]string{"unix:" + filepath.Join(folder, "gate") + "=unix:" + filepath.Join(folder, "server")})
	client, err := net.Dial("unix", filepath.Join(folder, "gate"))
	if err != nil {
		t.Fatal(err)
	}
	client.Write([]byte("hello"))
	client.(*net.UnixConn).CloseWrite()
	if all, _ := io.ReadAll(client); string(all) != "HELLO" {
		t.Errorf("got %q", all)
	}
}
