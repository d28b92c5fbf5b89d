package formal.v2

import future.keywords.if

# Asked when a job is started: it does not run at all.
pre_request := { "action": "block", "type": "block_with_formal_message" } if {
  contains(lower(input.query.statement), "salaries")
  input.user.id != "hr"
}

# Asked when a job is started, and applied whenever and wherever its results are read.
post_request := { "action": "mask", "columns": ["email"] } if {
  contains(lower(input.query.statement), "customers")
  input.user.id != "support"
}

post_request := { "action": "block" } if {
  contains(lower(input.query.statement), "audit_log")
}
