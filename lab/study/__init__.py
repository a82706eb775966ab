"""What many runs say together: statistics over seeds, figures, and a report in one file.

`statistics` summarises a quantity over seeds and compares pairs of runs, `canvas` makes figures that look alike and
saves each with its table, `curves` draws lines over steps, `heat` a value for each rule and attack, `spread` boxes and
violins, `html` joins figures and tables into one page that needs no network.
"""
