-- It claims nothing.

test("looks at nothing", function()
  print("hello")
end)
