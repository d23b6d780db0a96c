-- A task is left behind by its test.

test("a task is left", function()
  expect.equal(1, 1)
  spawn(function()
    sleep "1h"
  end)
end)
