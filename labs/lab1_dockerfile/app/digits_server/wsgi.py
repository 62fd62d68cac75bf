"""Hold the app that gunicorn serves: `gunicorn digits_server.wsgi:app`."""

import os

from digits_server.app import create_app, settings

app = create_app(settings(os.environ))
