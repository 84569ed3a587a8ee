package certcmd

// Group is New with options for the client of Google CA Service.
var Group = group
