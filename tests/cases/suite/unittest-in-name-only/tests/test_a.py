T = machine.TestCase
