"""Runs llama.cpp's HTTP server: FILE PORT KEY chat|embedding."""

import signal
import sys

import xllamacpp

file, port, key, task = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path = file
params.port = int(port)
params.api_keys = [key]
params.n_parallel = 2
params.n_ctx = 4096
params.embedding = task == "embedding"
server = xllamacpp.Server(params)
signal.pause()
