"""What has to be true of the distributions before they are released: `make release-check`.

`workspace` says which distributions there are. `versions` and `contents` judge, purely, what is
written in the repository and what was built; `building` builds; `environment` and `trying` install
what was built, as a user would, and use it. `__main__` goes through the steps and reports.
"""
