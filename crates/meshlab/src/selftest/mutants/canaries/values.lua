-- A claim on two values that does not hold.

test("one is two", function()
  check.equal(1, 2)
end)
