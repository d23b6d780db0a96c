-- Python's own web server: a program that has never heard of a mesh. It has no agent, no spans and
-- no peers; whether it is there shows in what it answers.

return kind {
  name = "http-server",
  program = "/usr/bin/python3",
  arguments = { "-m", "http.server", "{port}", "--bind", "{ip}", "--directory", "{data}/pages" },
  files = { ["pages/index.html"] = "this is {name}\n" },
  port = 8000,
  clock = "preload",
  ready = { port = "tcp" },
  answers = { tcp = "GET / HTTP/1.0\r\n\r\n", contains = "this is {name}" },
}
