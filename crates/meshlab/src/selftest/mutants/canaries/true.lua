-- A claim on two values that holds.

test("one is one", function()
  expect.equal(1, 1)
end)
