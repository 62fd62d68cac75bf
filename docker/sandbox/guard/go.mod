module shipyard/guard

go 1.22
