-- It takes longer than it may.

scenario { timeout = "1500ms" }

test("it takes too long", function()
  sleep "4s"
  expect.equal(1, 1)
end)
