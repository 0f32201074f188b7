"""The lab's own images, one recipe each.

    alpine        busybox; what half of all images begin with
    nginx         a web server           nginx:1.13   a second build, to roll back to
    redis         a database in memory
    python        for the small programs of the exercises
    registry:2    Docker's registry, for images

All but the first stand on alpine, so its layer is in the store once.
"""

from __future__ import annotations

from labkit.errors import DocumentError
from labkit.image.config import Execution
from labkit.image.made.recipe import Files, Layer, Programs, Recipe, SmallRoot

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ACCOUNTS = """\
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/sbin/nologin
{name}:x:{id}:{id}:{name}:{home}:/sbin/nologin
nobody:x:65534:65534:nobody:/:/sbin/nologin
"""
_GROUPS = """\
root:x:0:
daemon:x:1:
tty:x:5:
{name}:x:{id}:
users:x:100:
nogroup:x:65534:
"""
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"

_NGINX_CONFIGURATION = """\
user nginx;
worker_processes 1;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log notice;
events { worker_connections 512; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /var/log/nginx/access.log;
    sendfile on;
    include /etc/nginx/conf.d/*.conf;
}
"""
_NGINX_SITE = """\
server {
    listen 80;
    location / {
        root /usr/share/nginx/html;
        index index.html;
    }
}
"""
_PAGE = """\
<!DOCTYPE html>
<html>
<head><title>Welcome to nginx!</title></head>
<body>
<h1>Welcome to nginx!</h1>
<p>{sentence}</p>
</body>
</html>
"""
_REGISTRY_CONFIGURATION = """\
version: 0.1
log:
  level: info
storage:
  delete:
    enabled: true
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
  headers:
    X-Content-Type-Options: [nosniff]
"""


def _account(name: str, id: int, home: str) -> tuple[tuple[str, str], ...]:
    # glibc looks users up in these files, if the third says so.
    return (
        ("etc/passwd", _ACCOUNTS.format(name=name, id=id, home=home)),
        ("etc/group", _GROUPS.format(name=name, id=id)),
        ("etc/nsswitch.conf", _NSSWITCH),
    )


def _nginx(name: str, about: str, sentence: str) -> Recipe:
    return Recipe(
        name,
        about,
        (
            Programs(("nginx",), ("usr/sbin/nginx", "etc/nginx/mime.types")),
            Files(
                "COPY nginx.conf default.conf /etc/nginx/",
                (
                    *_account("nginx", 101, "/var/lib/nginx"),
                    ("etc/nginx/nginx.conf", _NGINX_CONFIGURATION),
                    ("etc/nginx/conf.d/default.conf", _NGINX_SITE),
                ),
                # As the image of Docker Hub: whoever reads the output sees the log.
                links=(
                    ("var/log/nginx/access.log", "/dev/stdout"),
                    ("var/log/nginx/error.log", "/dev/stderr"),
                ),
                directories=(("var/lib/nginx", 0o755),),
            ),
            Files(
                "COPY index.html /usr/share/nginx/html/",
                (("usr/share/nginx/html/index.html", _PAGE.format(sentence=sentence)),),
            ),
        ),
        execution=Execution(
            env=(_PATH,),
            cmd=("nginx", "-g", "daemon off;"),
            exposed_ports=("80/tcp",),
            stop_signal="SIGQUIT",
        ),
        instructions=(
            "EXPOSE 80",
            "STOPSIGNAL SIGQUIT",
            'CMD ["nginx", "-g", "daemon off;"]',
        ),
    )


RECIPES = (
    Recipe(
        "alpine",
        "busybox and some files, in the shape of Alpine Linux, without apk",
        (SmallRoot(),),
        base="",
        execution=Execution(env=(_PATH,), cmd=("/bin/sh",)),
        instructions=('CMD ["/bin/sh"]',),
    ),
    _nginx(
        "nginx",
        "the web server nginx, from the distribution's package",
        "This is the lab's own image, under the tag latest.",
    ),
    _nginx(
        "nginx:1.13",
        "in the place of nginx 1.13, to roll back to; the same program, another page",
        "This is the lab's own image, under the tag 1.13.",
    ),
    Recipe(
        "redis",
        "the database redis and its client, from the distribution's package",
        (
            Programs(
                ("redis-server", "redis-tools"),
                ("usr/bin/redis-server", "usr/bin/redis-cli"),
            ),
            Files(
                "RUN adduser redis && mkdir /data",
                _account("redis", 102, "/data"),
                directories=(("data", 0o1777),),
            ),
        ),
        execution=Execution(
            user="redis",
            env=(_PATH,),
            # Only processes that share a network with it reach it; a container's own.
            cmd=("redis-server", "--protected-mode", "no"),
            working_dir="/data",
            exposed_ports=("6379/tcp",),
            volumes=("/data",),
        ),
        instructions=(
            "USER redis",
            "WORKDIR /data",
            "VOLUME /data",
            "EXPOSE 6379",
            'CMD ["redis-server", "--protected-mode", "no"]',
        ),
    ),
    Recipe(
        "python",
        "Python with its standard library, from the distribution's packages",
        (
            Programs(
                ("python3-minimal", "libpython3-stdlib"),
                ("usr/bin/python3*", "usr/lib/python3*"),
                (
                    "*/__pycache__/*", "*/idlelib/*", "*/lib2to3/*", "*/pydoc_data/*",
                    "*/test/*", "*/tests/*", "*/turtledemo/*", "*/config-3*",
                ),
                "usr/bin/python3",
            ),
            Files(
                "RUN ln -s python3 /usr/bin/python",
                (("etc/nsswitch.conf", _NSSWITCH),),
                links=(("usr/bin/python", "python3"),),
            ),
        ),
        execution=Execution(env=(_PATH,), cmd=("python3",)),
        instructions=('CMD ["python3"]',),
    ),
    Recipe(
        "registry:2",
        "Docker's registry, from the distribution's package docker-registry",
        (
            Programs(("docker-registry",), ("usr/bin/docker-registry",)),
            Files(
                "COPY config.yml /etc/docker/registry/",
                (
                    ("etc/docker/registry/config.yml", _REGISTRY_CONFIGURATION),
                    ("etc/nsswitch.conf", _NSSWITCH),
                ),
                directories=(("var/lib/registry", 0o755),),
            ),
        ),
        execution=Execution(
            env=(_PATH,),
            entrypoint=("docker-registry",),
            cmd=("serve", "/etc/docker/registry/config.yml"),
            exposed_ports=("5000/tcp",),
            volumes=("/var/lib/registry",),
        ),
        instructions=(
            "VOLUME /var/lib/registry",
            "EXPOSE 5000",
            'ENTRYPOINT ["docker-registry"]',
            'CMD ["serve", "/etc/docker/registry/config.yml"]',
        ),
    ),
)  # fmt: skip


def find(name: str) -> Recipe:
    """Return the recipe of a name.

    Raises: DocumentError when there is none.
    """
    for recipe in RECIPES:
        if name in (recipe.name, f"{recipe.name}:latest"):
            return recipe
    raise DocumentError(
        f'image "{name}": the lab has no recipe for it',
        "labkit images make without a name makes all of them",
        "chapter 11",
        meaning=f"the lab can make: {', '.join(one.name for one in RECIPES)}",
    )


def family(recipe: Recipe) -> tuple[Recipe, ...]:
    """Return a recipe after those that it stands on, the lowest first."""
    below = family(find(recipe.base)) if recipe.base else ()
    return (*below, recipe)


def layers_of(recipe: Recipe) -> tuple[Layer, ...]:
    """Return all layers of an image, the lowest first."""
    return tuple(layer for one in family(recipe) for layer in one.layers)
