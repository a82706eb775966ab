"""Real swarms that meet with accidents: processes killed, stopped, started again, and how long training stands.

`accidents` names the accidents, `programs` are the processes and what is heard of them, `standstill` measures; `table`
repeats each accident and tabulates, `storm` (`make chaos`) has them happen at random and looks at what is left.
"""
