"""The zoo: drivers that are wrong on purpose, each in one way. The suite has to catch them all.

`healthy` is the animal without a fault, the control: no rule may ever fail it. `calibrate` counts
how often each of the others is caught by the rule that names its fault.
"""
